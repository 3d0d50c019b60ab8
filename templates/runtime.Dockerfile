# A service on TensorRT's runtime alone: the engines are built and checked by the step and come as a bundle; no builder, no
# compiler. The TensorRT of BUILD_IMAGE must be the one that built them, which their JSON names as `runtime_version`.
#
#   trt-engines run && trt-engines export --bundle engines.tar --only '*/l4/*'
#   docker build --file runtime.Dockerfile .
ARG BUILD_IMAGE=nvcr.io/nvidia/tensorrt:26.07-py3
ARG RUNTIME_IMAGE=nvcr.io/nvidia/cuda:13.3.0-runtime-ubuntu24.04

FROM ${BUILD_IMAGE} AS libraries
RUN mkdir -p /opt/tensorrt-runtime \
  && find /usr /opt -xdev \( -name 'libnvinfer.so.*' -o -name 'libnvinfer_plugin.so.*' \) \
    -not -path '/opt/tensorrt-runtime/*' -exec cp --archive --no-clobber '{}' /opt/tensorrt-runtime/ ';'

FROM ${RUNTIME_IMAGE}
ARG BUNDLE=engines.tar
COPY --from=libraries /opt/tensorrt-runtime /usr/local/lib/tensorrt
ENV LD_LIBRARY_PATH=/usr/local/lib/tensorrt
# An archive is unpacked by ADD alone.
# hadolint ignore=DL3020
ADD ${BUNDLE} /models/
USER 65534:65534
