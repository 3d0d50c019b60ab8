"""Writes the reports of a large, mixed run, made up from a seed, as two machines of a matrix would have written them.

python examples/report-sample/generate.py [FOLDER]
"""

from __future__ import annotations

import json
import math
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipeline.bench.measurement import GpuState, Measurement, Streams  # noqa: E402
from pipeline.bench.samples import compact_from_ms, distribution_from_ms  # noqa: E402
from pipeline.compare.baseline import Figures, PastRun, RunName  # noqa: E402
from pipeline.compare.change import Basis, Change, Interval, Verdict, change_from_stored  # noqa: E402
from pipeline.compare.gates import ChangedGate  # noqa: E402
from pipeline.compare.layer_changes import LayerChange  # noqa: E402
from pipeline.digest import Digest, digest_from_bytes  # noqa: E402
from pipeline.inspection.layers import EngineLayers, Layer, layers_to_json  # noqa: E402
from pipeline.inspection.precision_shares import precision_shares  # noqa: E402
from pipeline.manifest.types import Metric  # noqa: E402
from pipeline.precision import Precision  # noqa: E402
from pipeline.publish.details import Details, JobDetails, details_to_json  # noqa: E402
from pipeline.publish.job_report import (  # noqa: E402
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
from pipeline.publish.report import Outcome, Report, report_to_json  # noqa: E402

SEED = 20_300_131
HOSTILE = "<img src=x onerror=alert(1)> | @all `rm` [x](javascript:1) \u202eevil ::error::x"
MODELS = {
    "resnet50": 0.9,
    "rf-detr-base": 4.2,
    "whisper-encoder": 7.5,
    "bert-large": 3.1,
    "yolox": 0.62,
    HOSTILE: 1.4,
}
PRECISIONS = {
    Precision.FP32: (1.0, 1.0, 0.0),
    Precision.FP16: (0.45, 0.52, 0.02),
    Precision.BF16: (0.47, 0.52, 0.06),
    Precision.INT8: (0.27, 0.30, 0.4),
}
"""Latency and size over those of FP32, and Top-1 lost in percentage points."""
TARGETS = {"h200": ("tensorrt", "9.0", "NVIDIA H200", 1.0), "l4": ("tensorrt", "8.9", "NVIDIA L4", 4.6)}
FREE = {"sm_86": "8.6", "sm_120": "12.0"}
"""Targets of TensorRT-RTX, which are built and never run here."""


def main() -> None:
    """Write the two parts below the folder that is named, else beside this file."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for number, targets in enumerate((("h200", "sm_86"), ("l4", "sm_120"))):
        chance = random.Random(SEED + number)  # noqa: S311
        jobs, details = [], []
        for model, base_ms in MODELS.items():
            for target in (*TARGETS, *FREE):
                for precision in PRECISIONS:
                    job = job_report(model, base_ms, target, precision, chance, here=target in targets)
                    if job.speed is not None and job.id.startswith("resnet50/h200"):
                        job = inspected(job, folder / "runner-1", chance)
                    if job.speed is not None:
                        details.append(job_details(job, chance))
                        job = held_to_budget(job, details[-1].change)
                    jobs.append(job)
        report = report_of(tuple(jobs), number)
        gates = (
            ChangedGate(job="resnet50/h200/int8", gate="accuracy.tolerances.cosine", base=0.98, head=0.9, held=True),
            ChangedGate(job="yolox/h200/fp16", gate="benchmark.duration_s", base=5.0, head=0.5, held=False),
        )
        found = Details(
            base="main at 1f2e3d4",
            jobs=tuple(details),
            changed_gates=gates if number == 0 else (),
            gpu_spent_s=1260.0 + 310.0 * number,
            gpu_saved_s=2810.0 + 95.0 * number,
            commit="9c0ffee1" * 5,
            image="registry.example/trt-engines:0.1.0",
        )
        write(folder / f"runner-{number + 1}" / "report.json", report_to_json(report))
        write(folder / f"runner-{number + 1}" / "report-details.json", details_to_json(found))


def write(path: Path, value: dict[str, Any]) -> None:
    """One JSON file, as a run writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def report_of(jobs: tuple[JobReport, ...], number: int) -> Report:
    """A run of one machine; its exit code is that of its earliest failing stage."""
    codes = [job.failure.exit_code for job in jobs if job.failure is not None]
    return Report(
        tool_version="0.1.0",
        manifest="models/trt-engines.yaml",
        started=f"2030-01-31T12:0{number}:00Z",
        elapsed_s=1873.4 + 211.7 * number,
        verdict=Outcome.FAILED if codes else Outcome.PASSED,
        exit_code=min(codes, default=0),
        runtimes={"tensorrt": "10.13.3.9", "tensorrt-rtx": "1.7.1.116"},
        jobs=jobs,
        notes=("the cache is only read: Access Denied",) if number else (),
    )


def job_report(
    model: str, base_ms: float, target: str, precision: Precision, chance: random.Random, *, here: bool
) -> JobReport:
    """One job, of a fate that depends on its place, so that every fate occurs."""
    runtime, capability = (
        (TARGETS[target][0], TARGETS[target][1]) if target in TARGETS else ("tensorrt-rtx", FREE[target])
    )
    common: dict[str, Any] = {
        "id": f"{model}/{target}/{precision}",
        "model": model,
        "target": target,
        "precision": precision,
        "runtime": runtime,
        "compute_capability": capability,
    }
    build_s = round(chance.uniform(20, 180) * math.sqrt(base_ms), 2)
    if not here:
        return JobReport(**common, status=Status.NEEDS_RUNNER, reason=f"needs a runner with {target}")
    if model == "whisper-encoder" and target == "l4" and precision is Precision.INT8:
        return JobReport(
            **common, status=Status.FAILED, reason="never built before", build_s=build_s, failure=refused()
        )
    if model == "bert-large" and target == "sm_120" and precision is Precision.BF16:
        return JobReport(**common, status=Status.SKIPPED, reason="the calibration of its model failed")
    cached = chance.random() < 0.6
    inaccurate = model in ("bert-large", HOSTILE) and precision is Precision.INT8
    engine = engine_report(common["id"], int(base_ms * 40_000_000 * PRECISIONS[precision][1]))
    speed = speed_report(base_ms, target, precision, chance) if target in TARGETS else None
    accuracy = accuracy_report(precision, chance, inaccurate=inaccurate, timed=speed is not None)
    return JobReport(
        **common,
        status=Status.FAILED if inaccurate else Status.CACHED if cached else Status.BUILT,
        reason="hit: every ingredient is the same" if cached else "changed: model sha256:ab12cd34… -> sha256:ef56ab78…",
        build_s=None if cached else build_s,
        previous_build_s=round(build_s * chance.uniform(0.95, 1.05), 2),
        engine=engine,
        accuracy=accuracy,
        speed=speed,
        failure=not_accurate(common["id"], accuracy) if inaccurate else None,
        warnings=("2 nodes stayed in FP32: Softmax",) if precision is Precision.FP16 and chance.random() < 0.3 else (),
    )


def inspected(job: JobReport, out: Path, chance: random.Random) -> JobReport:
    """The job with its engine's layers, which are written beside where the engine would lie."""
    assert job.speed is not None
    assert job.engine is not None
    engine = layers_of(job.engine.digest, job.precision, job.speed.engine.compute.p50_ms, chance)
    path = f"{job.id}.layers.json"
    write(out / path, layers_to_json(engine))
    shares = precision_shares(engine.layers)
    granted = 59 / 60 if job.precision is not Precision.FP32 else None
    layers = LayersReport(layers=60, path=path, granted_share=granted, shares=shares, tactics="the same")
    return replace(job, layers=layers)


def refused() -> FailureReport:
    """A build that failed."""
    return FailureReport(
        kind="build",
        exit_code=6,
        what="the builder refused the model",
        why="1 layer has no implementation:\n  /encoder/attention/MatMul_3",
        fix="keep the layer in FP16 with `build.layer_precisions`",
        log_tail=(
            "[E] Error Code 10: Internal Error (Could not find any implementation for node {/encoder/MatMul_3}.)",
            f"[E] {HOSTILE}",
        ),
        log="logs/whisper-encoder/l4/int8/engine.log",
    )


def not_accurate(job: str, accuracy: AccuracyReport) -> FailureReport:
    """A tolerance that was missed."""
    missed = next(verdict for verdict in accuracy.verdicts if not verdict.passed)
    return FailureReport(
        kind="accuracy",
        exit_code=7,
        what=f"{job} is not accurate enough",
        why=f"{missed.metric} is {missed.measured}, at least {missed.limit} is asked",
        fix="calibrate on more data",
    )


def held_to_budget(job: JobReport, change: Change | None) -> JobReport:
    """The job, failed where its engine became slower than its budget allows."""
    if change is None or not change.regressed or change.latency is None or job.failure is not None:
        return job
    low, high = change.latency.low_percent, change.latency.high_percent
    failure = FailureReport(
        kind="regression",
        exit_code=8,
        what=f"{job.id} exceeds its budget",
        why=f"an inference takes {change.latency.estimate_percent:.1f} % longer than with the base branch's engine, "
        f"timed in turn ({low:.1f} % to {high:.1f} %), the budget is {change.budget_percent:g} %",
        fix="make it smaller or faster, or raise the budget",
    )
    return replace(job, status=Status.FAILED, failure=failure)


def engine_report(job: str, size_bytes: int) -> EngineReport:
    """An engine with one input and one output."""
    return EngineReport(
        path=f"{job}.engine",
        size_bytes=size_bytes,
        digest=digest_from_bytes(job.encode()),
        key=digest_from_bytes(b"key of " + job.encode()),
        inputs=(TensorReport("images", "float32", ("batch", 3, 224, 224)),),
        outputs=(TensorReport("logits", "float32", ("batch", 1000)),),
    )


def accuracy_report(precision: Precision, chance: random.Random, *, inaccurate: bool, timed: bool) -> AccuracyReport:
    """Figures that fit the precision, or not at all."""
    lost = round(PRECISIONS[precision][2] * chance.uniform(0.2, 1.8) + (9.3 if inaccurate else 0.0), 2)
    cosine = round(1 - lost / 40 - 1e-6, 6)
    margin = round(cosine - 0.95, 6)
    verdicts = (
        MetricVerdict(
            metric=Metric.COSINE, measured=cosine, limit=0.95, passed=margin >= 0, margin=margin, output="logits"
        ),
        MetricVerdict(metric=Metric.TOP1_DROP, measured=lost, limit=1.0, passed=lost <= 1.0, margin=1.0 - lost),
    )
    output = OutputAccuracy(name="logits", cosine_min=cosine, max_absolute_error=lost / 7, max_relative_error=lost / 90)
    return AccuracyReport(
        subject=Subject.ENGINE if timed else Subject.PREPARED_MODEL,
        emulated=precision is Precision.BF16 and not timed,
        samples=1000,
        top1_reference_percent=80.4,
        top1_candidate_percent=round(80.4 - lost, 2),
        outputs=(output,),
        verdicts=verdicts,
    )


def speed_report(base_ms: float, target: str, precision: Precision, chance: random.Random) -> SpeedReport:
    """An engine, PyTorch on the same GPU, and ONNX Runtime on the host."""
    device, slowness = TARGETS[target][2], TARGETS[target][3]
    engine_ms = base_ms * slowness * PRECISIONS[precision][0] * chance.uniform(0.95, 1.1)
    if precision is Precision.INT8 and base_ms < 1.0:
        engine_ms *= 2.1
    return SpeedReport(
        engine=measurement("engine", device, str(precision), engine_ms, chance),
        originals=(
            measurement("pytorch", device, "fp32", base_ms * slowness * 1.9, chance),
            measurement("onnxruntime", "CPU", "fp32", base_ms * 61.0, chance),
        ),
    )


def measurement(subject: str, device: str, precision: str, typical_ms: float, chance: random.Random) -> Measurement:
    """Timings with a little noise, sometimes a second mode, and a few stalls."""
    second = 1.06 if chance.random() < 0.2 else 1.0
    samples = [
        typical_ms
        * (1 + abs(chance.gauss(0, 0.006)))
        * (second if chance.random() < 0.35 else 1.0)
        * (chance.uniform(1.2, 1.9) if chance.random() < 0.02 else 1.0)
        for _ in range(160)
    ]
    spread = distribution_from_ms(samples)
    engine = subject == "engine"
    return Measurement(
        subject=subject,
        device=device,
        version="10.13.3.9",
        precision=precision,
        shapes={"images": (8, 3, 224, 224)},
        cuda_graph=engine,
        compute=spread,
        inferences_per_s=1000 / spread.mean_ms,
        latency=distribution_from_ms([value * 1.2 + 0.02 for value in samples]) if engine else None,
        streams=Streams(streams=2, inferences_per_s=1500 / spread.mean_ms) if engine else None,
        items_per_inference=8.0,
        items_unit="images",
        peak_memory_bytes=int(typical_ms * 90_000_000) if engine else None,
        warmup_s=2.0,
        stable=True,
        measured_s=5.0,
        gpu=GpuState(readings=50, sm_clock_mean_mhz=1980.0, throttled=()) if device != "CPU" else None,
        samples=compact_from_ms(samples) if engine else "",
    )


def job_details(job: JobReport, chance: random.Random) -> JobDetails:
    """A change against the base branch, and twenty runs of it."""
    assert job.speed is not None
    p50_ms = job.speed.engine.compute.p50_ms
    slower = 6.4 if job.id == "rf-detr-base/h200/fp16" else chance.gauss(0, 0.5) - (4 if job.model == "yolox" else 0)
    change = change_from_stored(p50_ms / (1 + slower / 100), p50_ms, 3.0)
    if job.target == "h200":
        change = paired_change(round(slower, 2), round(chance.uniform(0.2, 0.9), 2))
    past = history(job, p50_ms / (1 + slower / 100), chance)
    cause = layer_changes() if change.regressed else ()
    return JobDetails(job=job.id, change=change, base=past[-1], cause=cause, history=past)


def layer_changes() -> tuple[LayerChange, ...]:
    """What made an engine slower."""
    return (
        LayerChange(
            what="split, fp16 -> fp16+fp32, slower",
            before=("/blocks.3/attn/MatMul + /blocks.3/attn/Softmax",),
            after=("/blocks.3/attn/MatMul", "/blocks.3/attn/Softmax"),
            before_ms=0.081,
            after_ms=0.142,
        ),
        LayerChange(
            what="slower",
            before=("/blocks.7/mlp/Gemm",),
            after=("/blocks.7/mlp/Gemm",),
            before_ms=0.055,
            after_ms=0.063,
            tactic="sm90_xmma_gemm_f16f16_128x128 -> sm80_xmma_gemm_f16f16_64x64",
        ),
    )


def paired_change(estimate: float, reach: float) -> Change:
    """A change with an interval that reaches so far to either side."""
    low, high = round(estimate - reach, 2), round(estimate + reach, 2)
    verdict = Verdict.SLOWER if low > 1 else Verdict.FASTER if high < 0 else Verdict.SAME
    return Change(
        basis=Basis.PAIRED,
        verdict=verdict,
        regressed=low > 3.0,
        enough=True,
        budget_percent=3.0,
        latency=Interval(estimate, low, high),
        noise=Interval(0.05, round(0.05 - reach, 2), round(0.05 + reach, 2)),
        processes=32,
        reason="the whole interval lies past 3 %" if low > 3.0 else "the whole interval lies within 3 % of no change",
    )


def history(job: JobReport, p50_ms: float, chance: random.Random) -> tuple[PastRun, ...]:
    """Twenty nights of the default branch."""
    assert job.engine is not None
    return tuple(
        PastRun(
            run=RunName(started=f"2030-01-{day:02}T02:00:00Z", commit=f"{day:040x}", tool_version="0.1.0"),
            figures=Figures(
                engine_size_bytes=job.engine.size_bytes,
                build_s=round(60 * chance.uniform(0.9, 1.1), 1),
                latency_p50_ms=round(p50_ms * (1.08 if day < 12 else 1.0) * chance.uniform(0.99, 1.01), 4),
            ),
        )
        for day in range(1, 21)
    )


def layers_of(digest: Digest, precision: Precision, typical_ms: float, chance: random.Random) -> EngineLayers:
    """Sixty layers, of which the last stays in FP32."""
    weights = [chance.expovariate(1.0) for _ in range(60)]
    layers = tuple(
        Layer(
            name=f"/blocks.{index}/conv/Conv + /blocks.{index}/act/Relu",
            type="CaskConvolution",
            precision="fp32" if index == len(weights) - 1 else precision.value,
            tactic=f"sm90_xmma_fprop_implicit_gemm_{index:02}",
            inputs=(),
            outputs=(),
            onnx_nodes=(f"/blocks.{index}/conv/Conv",),
            time_ms=round(typical_ms * weight / sum(weights), 5),
        )
        for index, weight in enumerate(weights)
    )
    return EngineLayers(
        engine_digest=digest,
        runtime_version="10.13.3.9",
        detailed=True,
        shapes={"images": (8, 3, 224, 224)},
        profiled_iterations=50,
        layers=layers,
    )


if __name__ == "__main__":
    main()
