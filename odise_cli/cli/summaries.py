"""What a finished command tells a person: reports and listings as text.

Pure functions from a report to lines; prints nothing and opens no file.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from odise_cli.reports.evaluation import EvaluationReport, SelfCheckReport, figure_text
from odise_cli.reports.export import ExportReport
from odise_cli.reports.segmentation import SegmentPlan, SegmentReport
from odise_cli.reports.training import TrainPlan, TrainReport

if TYPE_CHECKING:
    from odise_cli.commands.draw import DrawReport
    from odise_cli.commands.merge import MergeReport
    from odise_cli.commands.models import ModelStatus
    from odise_cli.commands.vocab import VocabularySummary
    from odise_cli.structures import Category

_NUM_FAILURES_SHOWN = 5
_NUM_MISSING_SHOWN = 5
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
        f"{_count(report.num_selected, 'image')}: {', '.join(counts)}; "
        f"{_count(report.num_segments, 'segment')}" + _skipped_text(report.num_skipped_files),
    ]
    if report.num_done:
        lines.append(f"{report.seconds:.1f} s, {report.images_per_second:.3g} images/s")
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
    # The list to feed again is written when a run has seen every image.
    listed = report.out / ("manifest.jsonl" if report.is_interrupted else "failures.txt")
    head = (
        f"{report.num_failed} of {_count(report.num_selected, 'image')} without a result, "
        f"listed in {listed}"
    )
    return "\n".join([head + (":" if shown else "."), *shown])


def model_text(model: "ModelStatus") -> str:
    """One model and the state of its files, a row each."""
    lines = [f"{model.name:<8} {model.state:<10} {model.size:<18} {model.licence}"]
    lines += [f"  {file.state:<12} {file.path}" for file in model.files]
    return "\n".join(lines)


def merge_report_text(report: "MergeReport") -> str:
    """What `odise merge` says at the end."""
    text = (
        f"{_count(report.num_folders, 'folder')}: {_count(report.num_done, 'image')} with a result"
    )
    if report.num_failed:
        text += f", {report.num_failed} without (listed in {report.out / 'failures.txt'})"
    if report.num_missing:
        text += (
            f"\nmissing: {_count(report.num_missing, 'image')} of the list that the shards were "
            "cut from; is a shard not among the folders?"
        )
    if report.num_missing is None:
        text += (
            "\nThe folders were not made from one list of images: whether any are missing cannot "
            "be told."
        )
    return f"{text}\nresults: {report.out}"


def draw_report_text(report: "DrawReport") -> str:
    """What `odise draw` says at the end."""
    before = f" ({report.num_scenes_before} drawn before)" if report.num_scenes_before else ""
    head = f"{_count(report.num_scenes, 'scene')}{before}, {_count(report.num_segments, 'segment')}"
    if report.is_interrupted:
        return f"{head}\nInterrupted. The same command goes on where this one stopped."
    return (
        f"{head}\n"
        f"images:      {report.out / 'images'}\n"
        f"annotations: {report.out / 'panoptic.json'} (masks in {report.out / 'panoptic'})\n"
        f"captions:    {report.out / 'captions.json'}"
    )


def export_report_text(report: ExportReport) -> str:
    """What `odise export` says at the end."""
    lines = [f"{report.format}, {report.precision}, {size_text(report.num_bytes)}"]
    if report.parity is None:
        lines.append("not verified")
    else:
        lines.append(
            f"the same answers on {_count(report.num_samples, 'picture')}: "
            f"mask IoU {report.parity['mask_iou']:.4f}, "
            f"label agreement {report.parity['label_agreement']:.4f}, "
            f"largest logit difference {report.parity['max_logit_difference']:.2g}"
        )
    return "\n".join((*lines, f"model: {report.out}"))


def evaluation_text(report: EvaluationReport) -> str:
    """What `odise evaluate` says at the end: figures in percent, and how they were measured."""
    lines = [report.title, "", *_table_lines(*report.headline_table())]
    if report.seen_split:
        lines += ["", *_table_lines(*report.split_table())]
    lines += ["", *report.protocol_lines()]
    if report.out is not None:
        names = ("report.json", "report.md", "report.html")
        lines.append(f"reports: {', '.join(str(report.out / name) for name in names)}")
    return "\n".join(lines)


def self_check_text(report: SelfCheckReport) -> str:
    """What `odise evaluate --self-check` says: every count, what is missing, where to get it."""
    rows, missing = [], []
    for count in report.counts:
        published = "–" if count.published is None else f"{count.published:,}"
        state = "ok" if count.is_complete else "INCOMPLETE"
        rows.append([count.what, f"{count.found:,}", published, state])
        missing += [f"  missing of {count.what}: {name}" for name in count.missing]
    lines = _table_lines([report.dataset, "found", "expected", ""], rows)
    lines += missing[:_NUM_MISSING_SHOWN]
    if len(missing) > _NUM_MISSING_SHOWN:
        lines.append(f"  and {len(missing) - _NUM_MISSING_SHOWN:,} more")
    lines += [
        f"  {count.what}: get what is missing from {count.origin}"
        for count in report.counts
        if count.origin is not None and not count.is_complete
    ]
    return "\n".join(lines)


def _table_lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in plain text: the first column to the left, numbers to the right."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (columns, *rows)
    ]


def train_plan_text(plan: TrainPlan) -> str:
    """What `odise train --dry-run` answers."""
    accumulated = f", {plan.passes_per_step} passes" if plan.passes_per_step > 1 else ""
    validation = f", {plan.num_validation_images:,} to validate on"
    return "\n".join(
        (
            *(f"note        {warning}" for warning in plan.warnings),
            f"task        {plan.task}, model {plan.model}",
            f"images      {plan.num_images:,}" + (validation if plan.num_validation_images else ""),
            f"categories  {plan.num_categories}",
            f"steps       {plan.num_steps:,}, {plan.num_done_steps:,} already done; "
            f"{plan.batch_size} images each, {plan.images_per_pass} at once{accumulated}; "
            f"{plan.num_epochs:.3g} epochs",
            f"device      {plan.device}, {plan.precision}, one process",
            f"output      {plan.out}",
            "Nothing was written.",
        )
    )


def train_report_text(report: TrainReport) -> str:
    """What `odise train` says at the end."""
    before = f", {report.num_steps_before:,} done before" if report.num_steps_before else ""
    lines = [
        f"{report.num_done_steps:,} of {_count(report.num_steps, 'step')}{before}",
        f"{report.seconds:.1f} s, {report.images_per_second:.3g} images/s on {report.device}, "
        f"{report.precision}, {_count(report.num_processes, 'process')}",
        f"parameters: {report.num_trainable:,} trained, {report.num_frozen:,} frozen",
    ]
    if report.last_metrics:
        lines.append(
            f"loss at step {report.last_metrics['step']:,}: {report.last_metrics['loss']:.4g}"
        )
    if report.last_scores is not None:
        shown = (f"{name} {figure_text(value)}" for name, value in report.last_scores.items())
        lines.append(f"validation: {', '.join(shown)}")
    if report.is_interrupted:
        lines.append(f"run: {report.out}")
        lines.append("Interrupted. The same command with --resume goes on where this one stopped.")
    else:
        lines.append(f"model: {report.out}")
    return "\n".join(lines)


def vocabulary_text(summary: "VocabularySummary") -> str:
    """One bundled label set, a row."""
    return (
        f"{summary.name:<14} {summary.num_categories:>5} categories "
        f"({summary.num_things} things), {summary.num_words} words"
    )


def category_text(category: "Category") -> str:
    """A category as a vocabulary file has it, everything written out."""
    kind = "thing" if category.isthing else "stuff"
    color = "".join(f"{channel:02x}" for channel in category.color)
    return f"{', '.join(category.words)} | {kind} id={category.id} color=#{color}"


def category_to_coco(category: "Category") -> dict[str, Any]:
    """A category as COCO's JSON has it, which `--vocab` reads too.

    Source: COCO data format, `categories` of panoptic segmentation; `synonyms` is LVIS's.
    """
    name, *synonyms = category.words
    return {
        "id": category.id,
        "name": name,
        "synonyms": synonyms,
        "isthing": int(category.isthing),
        "color": list(category.color),
    }


def size_text(num_bytes: int) -> str:
    """A size with three digits, in powers of 1024."""
    amount, unit = float(num_bytes), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if amount >= 100 or unit == "bytes" else f"{amount:.1f} {unit}"


def _count(number: int, noun: str) -> str:
    ending = "es" if noun.endswith("ss") else "s"
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{ending}"


def _skipped_text(num_skipped_files: int) -> str:
    if not num_skipped_files:
        return ""
    return f" ({_count(num_skipped_files, 'file')} skipped: no images)"
