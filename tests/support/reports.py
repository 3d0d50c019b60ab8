"""Reports to publish in tests: one with every status, and parts of it."""

from __future__ import annotations

from dataclasses import replace

from pipeline.bench.measurement import GpuState, Measurement, Streams
from pipeline.bench.samples import compact_from_ms, distribution_from_ms
from pipeline.digest import digest_from_bytes
from pipeline.inspection.precision_shares import PrecisionShare
from pipeline.manifest.types import Metric, ShapeRange
from pipeline.precision import Precision
from pipeline.publish.job_report import (
    AccuracyReport,
    EngineReport,
    FailureReport,
    JobReport,
    LayersReport,
    MetricVerdict,
    OutputAccuracy,
    SpeedReport,
    Status,
    Subject,
    TensorReport,
)
from pipeline.publish.report import FaultReport, Outcome, Report, RunFailureReport
from pipeline.publish.sidecar import BuilderSettings, LayerPrecision, Sidecar, TargetReport


def engine_report(path: str = "digits/sm_89/fp32.engine", size_bytes: int = 1_300_000) -> EngineReport:
    return EngineReport(
        path=path,
        size_bytes=size_bytes,
        digest=digest_from_bytes(path.encode()),
        key=digest_from_bytes(b"key of " + path.encode()),
        inputs=(TensorReport("images", "float32", ("batch", 1, 8, 8)),),
        outputs=(TensorReport("logits", "float32", (None, 10)),),
    )


def accuracy_report(
    candidate_percent: float = 98.61,
    cosine_min: float | None = 0.99912,
    *,
    emulated: bool = False,
    subject: Subject = Subject.PREPARED_MODEL,
    verdicts: tuple[MetricVerdict, ...] = (),
) -> AccuracyReport:
    return AccuracyReport(
        subject=subject,
        emulated=emulated,
        samples=360,
        top1_reference_percent=98.89,
        top1_candidate_percent=candidate_percent,
        outputs=(
            OutputAccuracy(name="logits", cosine_min=cosine_min, max_absolute_error=0.0123, max_relative_error=0.00045),
        ),
        verdicts=verdicts,
    )


def measurement(
    p50_ms: float = 0.5, *, subject: str = "engine", precision: str = "fp16", device: str = "NVIDIA H200"
) -> Measurement:
    """A measurement in which every optional part occurs, but for an original's fewer."""
    spread = distribution_from_ms([p50_ms * share for share in (0.99, 1.0, 1.02)])
    whole = subject == "engine"
    return Measurement(
        subject=subject,
        device=device,
        version="8.6.0",
        precision=precision,
        shapes={"images": (8, 1, 8, 8)},
        cuda_graph=whole,
        compute=spread,
        inferences_per_s=1000 / p50_ms,
        without_graph=spread if whole else None,
        latency=spread if whole else None,
        copy_in=spread if whole else None,
        copy_out=spread if whole else None,
        enqueue=spread if whole else None,
        streams=Streams(streams=2, inferences_per_s=1500 / p50_ms) if whole else None,
        items_per_inference=8.0,
        items_unit="images",
        engine_memory_bytes=3 << 20 if whole else None,
        context_memory_bytes=2 << 20 if whole else None,
        peak_memory_bytes=8 << 20,
        warmup_s=2.0,
        stable=True,
        measured_s=5.0,
        gpu=GpuState(
            readings=50,
            utilization_percent=97.0,
            power_mean_w=412.0,
            power_max_w=430.5,
            sm_clock_min_mhz=1980.0,
            sm_clock_mean_mhz=1980.0,
            memory_clock_mean_mhz=3201.0,
            temperature_max_c=51.0,
            throttled=("sw-power-cap",),
        ),
        samples=compact_from_ms([p50_ms]),
        warnings=("the GPU lowered its clocks while it was timed: sw-power-cap",),
    )


def job_report(job_id: str, status: Status, reason: str, **parts: object) -> JobReport:
    model, target, precision = job_id.rsplit("/", 2)
    return JobReport(
        id=job_id,
        model=model,
        target=target,
        precision=Precision(precision),
        runtime="tensorrt-rtx",
        compute_capability="8.9",
        status=status,
        reason=reason,
        **parts,  # type: ignore[arg-type]
    )


def report_of(*jobs: JobReport, verdict: Outcome = Outcome.PASSED, exit_code: int = 0) -> Report:
    return Report(
        tool_version="0.1.0",
        manifest="examples/digits/trt-engines.yaml",
        started="2030-01-31T12:00:00Z",
        elapsed_s=12.34,
        verdict=verdict,
        exit_code=exit_code,
        runtimes={"tensorrt-rtx": "1.7.1.116"},
        jobs=jobs,
    )


def sample_report() -> Report:
    """A failed run in which every status and every optional part occurs."""
    missed = MetricVerdict(
        metric=Metric.COSINE, measured=0.91234, limit=0.99, passed=False, margin=-0.07766, output="logits"
    )
    kept = MetricVerdict(metric=Metric.TOP1_DROP, measured=0.28, limit=1.0, passed=True, margin=0.72)
    jobs = (
        job_report(
            "digits/sm_89/fp32",
            Status.CACHED,
            "hit: every ingredient is the same",
            previous_build_s=0.31,
            engine=engine_report(),
            accuracy=accuracy_report(98.89, 1.0),
        ),
        job_report(
            "digits/sm_89/fp16",
            Status.BUILT,
            "model sha256:ab12cd34… -> sha256:ef56ab78…",
            build_s=0.29,
            previous_build_s=0.33,
            engine=engine_report("digits/sm_89/fp16.engine", 700_000),
            accuracy=accuracy_report(verdicts=(kept,)),
            layers=LayersReport(
                layers=58,
                path="digits/sm_89/fp16.layers.json",
                granted_share=0.97,
                shares=(
                    PrecisionShare(precision="fp16", layers=54, layer_share=0.931, time_ms=0.52, time_share=0.963),
                    PrecisionShare(precision=None, layers=4, layer_share=0.069, time_ms=0.02, time_share=0.037),
                ),
                tactics="the same",
            ),
            speed=SpeedReport(
                engine=measurement(),
                originals=(
                    measurement(1.71, subject="pytorch", precision="fp32"),
                    measurement(90.0, subject="onnxruntime", precision="fp32", device="CPU"),
                ),
            ),
            warnings=("2 nodes stayed in FP32: `Softmax` | <b>bold</b> @someone",),
        ),
        job_report(
            "digits/sm_89/bf16",
            Status.BUILT,
            "miss: never built before",
            build_s=125.2,
            engine=engine_report("digits/sm_89/bf16.engine", 710_000),
            accuracy=accuracy_report(emulated=True),
        ),
        job_report(
            "digits/sm_89/int8",
            Status.FAILED,
            "profile opt 8 -> 16",
            build_s=0.4,
            engine=engine_report("digits/sm_89/int8.engine", 400_000),
            accuracy=accuracy_report(80.0, 0.91234, verdicts=(missed, kept)),
            failure=FailureReport(
                kind="accuracy",
                exit_code=7,
                what="digits/sm_89/int8 is not accurate enough",
                why="cosine of output 'logits' is 0.91234, at least 0.99 is asked: missed by 0.07766",
                fix="calibrate on more data",
            ),
        ),
        job_report(
            "digits/sm_120/fp32",
            Status.FAILED,
            "TensorRT-RTX 1.6.1 -> 1.7.1",
            previous_build_s=3725.0,
            failure=FailureReport(
                kind="build",
                exit_code=6,
                what="the builder refused the model",
                why="2 layers have no implementation:\n  conv1\n  conv2",
                fix="see the log",
                log_tail=(
                    "[E] Error Code 10: Could not find any implementation for node {conv1}",
                    "```",
                    "[link](https://example.com) <img src=x> @someone #1",
                ),
                log="logs/digits/sm_120/fp32/build.log",
            ),
        ),
        job_report("digits/h100/fp16", Status.NEEDS_RUNNER, "needs a runner with H100 and tensorrt"),
        job_report("digits/sm_86/fp32", Status.SKIPPED, "the calibration of its model failed"),
        job_report("digits/sm_86/fp16", Status.CANCELLED, "cancelled before it began"),
    )
    report = report_of(*jobs, verdict=Outcome.FAILED, exit_code=6)
    return Report(
        **{name: getattr(report, name) for name in report.__slots__ if name != "notes"},
        notes=("the cache failed 3 times and is left alone: No space left on device",),
    )


def unbegun_report() -> Report:
    """The report of a run whose manifest has twelve faults."""
    faults = (
        FaultReport(
            file="examples/digits/trt-engines.yaml",
            line=4,
            column=5,
            path="models[0].onnx",
            what="`model.onx` is not there",
            fix="did you mean `model.onnx`?",
        ),
        FaultReport(
            file="examples/digits/trt-engines.yaml",
            line=9,
            column=18,
            path="",
            what="a tab begins a line | <b>bold</b> @someone",
            fix="use spaces",
        ),
    )
    failure = RunFailureReport(
        kind="manifest", exit_code=3, what="12 faults in the manifest", faults=faults, more_faults=10
    )
    return replace(report_of(verdict=Outcome.FAILED, exit_code=3), runtimes={}, failures=(failure,))


def wrong_model_report() -> Report:
    """The report of a run that found its model broken."""
    failure = RunFailureReport(
        kind="model",
        exit_code=4,
        what="model.onnx is no model",
        why="it ends in the middle:\n  at byte 1024",
        fix="export it again",
        where="examples/digits/trt-engines.yaml:4:5",
    )
    return replace(report_of(verdict=Outcome.FAILED, exit_code=4), runtimes={}, failures=(failure,))


def sample_sidecar() -> Sidecar:
    return Sidecar(
        job="digits/sm_89/int8",
        key=digest_from_bytes(b"key"),
        engine_digest=digest_from_bytes(b"engine"),
        engine_size_bytes=400_000,
        model_digest=digest_from_bytes(b"model"),
        calibration_table_digest=digest_from_bytes(b"table"),
        precision=Precision.INT8,
        target=TargetReport(id="sm_89", runtime="tensorrt-rtx", compute_capability="8.9", gpu=None),
        tool_version="0.1.0",
        runtime_version="1.7.1.116",
        refitted_from=None,
        tools={"onnx": "1.23.2", "onnxruntime": "1.31.1"},
        inputs=(TensorReport("images", "float32", (None, 1, 8, 8)),),
        outputs=(TensorReport("logits", "float32", ("batch", 10)),),
        profiles=({"images": ShapeRange((1, 1, 8, 8), (8, 1, 8, 8), (32, 1, 8, 8))},),
        builder_settings=BuilderSettings(
            typing="strong",
            optimization_level=None,
            workspace_mib=256,
            sparsity=False,
            version_compatible=False,
            hardware_compatibility="none",
            refit=False,
            strip_weights=False,
            plugins=(),
            profiling_verbosity="layer-names",
            layer_precisions=(LayerPrecision("/conv1*", Precision.FP16),),
        ),
    )


def hostile_report(text: str) -> Report:
    """A failed report with ``text`` wherever others choose what is written."""
    outputs = (OutputAccuracy(name=text, cosine_min=0.5, max_absolute_error=1.0, max_relative_error=1.0),)
    job = JobReport(
        id=f"{text}/sm_89/fp16",
        model=text,
        target=text,
        precision=Precision.FP16,
        runtime=text,
        compute_capability="8.9",
        status=Status.FAILED,
        reason=text,
        accuracy=AccuracyReport(
            subject=Subject.PREPARED_MODEL,
            emulated=True,
            samples=1,
            top1_reference_percent=None,
            top1_candidate_percent=None,
            outputs=outputs,
            verdicts=(),
        ),
        failure=FailureReport(kind=text, exit_code=6, what=text, why=text, fix=text, log_tail=(text, text), log=text),
        warnings=(text,),
    )
    return Report(
        tool_version=text,
        manifest=text,
        started=text,
        elapsed_s=1.0,
        verdict=Outcome.FAILED,
        exit_code=6,
        runtimes={text: text},
        jobs=(job,),
        failures=(
            RunFailureReport(
                kind=text,
                exit_code=3,
                what=text,
                faults=(FaultReport(file=text, line=3, column=5, path=text, what=text, fix=text),) * 2,
                more_faults=1,
            ),
            RunFailureReport(kind=text, exit_code=4, what=text, why=text, fix=text, where=text),
        ),
        notes=(text,),
    )
