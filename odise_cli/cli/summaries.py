"""What a finished command tells a person: reports and listings as text.

Pure functions from a report to lines; prints nothing and opens no file.
"""

from typing import TYPE_CHECKING

from odise_cli.reports import SegmentPlan, SegmentReport

if TYPE_CHECKING:
    from odise_cli.commands.models import ModelStatus

_NUM_FAILURES_SHOWN = 5
_OUTPUT_PATHS = {
    "panoptic": "panoptic.json, panoptic/",
    "instances": "instances.json",
    "semantic": "semantic/",
    "overlay": "overlays/",
    "segments": "segments.jsonl",
}


def segment_plan_text(plan: SegmentPlan) -> str:
    """What `odise segment --dry-run` answers."""
    return "\n".join(
        (
            f"images      {plan.num_images} found, {plan.num_selected} selected, "
            f"{plan.num_finished} already done" + _skipped_text(plan.num_skipped_files),
            f"categories  {plan.num_categories}",
            f"model       {plan.model}",
            f"output      {plan.out}: " + ", ".join(_OUTPUT_PATHS[name] for name in plan.outputs),
            f"disk        about {size_text(plan.estimated_bytes)}",
            "Nothing was written.",
        )
    )


def segment_report_text(report: SegmentReport) -> str:
    """What `odise segment` says at the end; failures are `failures_text`."""
    counts = [f"{report.num_done} done"]
    if report.num_finished_before:
        counts.append(f"{report.num_finished_before} done before")
    if report.num_failed:
        counts.append(f"{report.num_failed} failed")
    lines = [
        f"{report.num_selected} images: {', '.join(counts)}; {report.num_segments} segments"
        + _skipped_text(report.num_skipped_files),
        f"{report.seconds:.1f} s, {report.images_per_second:.3g} images/s",
    ]
    if report.stage_ms:
        stages = (f"{stage} {ms / 1000:.1f}" for stage, ms in report.stage_ms.items())
        lines.append(f"seconds by stage: {', '.join(stages)}")
    if report.num_batch_halvings:
        lines.append(f"batches halved for want of memory: {report.num_batch_halvings}")
    lines.append(f"results: {report.out}")
    if report.is_interrupted:
        lines.append("Interrupted. The same command goes on where this one stopped.")
    return "\n".join(lines)


def failures_text(report: SegmentReport) -> str | None:
    """Which images have no result and where all of them are listed; None if there are none."""
    if not report.num_failed:
        return None
    shown = [f"  {name}: {error}" for name, error in report.first_failures[:_NUM_FAILURES_SHOWN]]
    if report.num_failed > len(shown) > 0:
        shown.append(f"  and {report.num_failed - len(shown)} more")
    head = (
        f"{report.num_failed} of {report.num_selected} images have no result; "
        f"they are listed in {report.out / 'failures.txt'}"
    )
    return "\n".join([head + (":" if shown else "."), *shown])


def model_text(model: "ModelStatus") -> str:
    """One model and the state of its files, a row each."""
    lines = [f"{model.name:<8} {model.state:<10} {model.size:<18} {model.licence}"]
    lines += [f"  {file.state:<12} {file.path}" for file in model.files]
    return "\n".join(lines)


def size_text(num_bytes: int) -> str:
    """A size with three digits, in powers of 1024."""
    amount, unit = float(num_bytes), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if amount >= 100 or unit == "bytes" else f"{amount:.1f} {unit}"


def _skipped_text(num_skipped_files: int) -> str:
    if not num_skipped_files:
        return ""
    return f" ({num_skipped_files} files are no images and were skipped)"
