# The step as a container: NVIDIA's TensorRT image, the hash-locked packages, the program. docs/docker.md says how it
# is run, docs/versions.md which base holds which TensorRT. Another TensorRT is another tag in the next line.
ARG BASE_IMAGE=nvcr.io/nvidia/tensorrt:26.07-py3

# The packages, beside those of the base: TensorRT itself is the base's, everything else is ours and comes first. The base
# may carry constraints of its own for pip, which do not go with hashes. Wheels only: nothing is compiled.
FROM ${BASE_IMAGE} AS packages
COPY requirements.lock /opt/trt-engines/
RUN python3 -m venv --system-site-packages --without-pip /opt/trt-engines/venv \
  && PIP_CONSTRAINT='' python3 -m pip --python /opt/trt-engines/venv/bin/python install --no-cache-dir --no-deps \
    --ignore-installed --require-hashes --only-binary :all: --requirement /opt/trt-engines/requirements.lock

# Compiled here, because the finished image may be read-only.
FROM packages AS program
COPY LICENSE entrypoint.py /opt/trt-engines/program/
COPY schemas /opt/trt-engines/program/schemas
COPY pipeline /opt/trt-engines/program/pipeline
RUN /opt/trt-engines/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/trt-engines/program \
  && mkdir /opt/trt-engines/bin \
  && printf '#!/bin/sh\nexec /opt/trt-engines/venv/bin/python -I -B -u /opt/trt-engines/program/entrypoint.py "$@"\n' \
    > /opt/trt-engines/bin/trt-engines \
  && chmod 755 /opt/trt-engines/bin/trt-engines

FROM ${BASE_IMAGE}
ARG BASE_IMAGE
ARG VERSION=unreleased
ARG REVISION=unknown
ARG SOURCE=""
ARG CREATED=""
LABEL org.opencontainers.image.title="TensorRT engine action" \
  org.opencontainers.image.description="Builds, checks, caches and reports TensorRT engines" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.source="${SOURCE}" \
  org.opencontainers.image.created="${CREATED}" \
  org.opencontainers.image.base.name="${BASE_IMAGE}"
COPY --from=packages /opt/trt-engines/venv /opt/trt-engines/venv
COPY --from=program /opt/trt-engines/program /opt/trt-engines/program
COPY --from=program /opt/trt-engines/bin /opt/trt-engines/bin
ENV PATH=/opt/trt-engines/bin:${PATH} \
  TRT_ENGINE_HAND_OVER=true
# No shell between the runner and the program: a shell drops variables such as INPUT_CACHE-SCOPE. Isolated, because a
# job's PYTHONPATH often leads into the checkout, whose yaml.py would run here beside the credentials.
ENTRYPOINT ["/opt/trt-engines/venv/bin/python", "-I", "-B", "-u", "/opt/trt-engines/program/entrypoint.py"]
