"""What a render says: its plan, its findings, its paths, its documents, its reports, its annotations."""

from wan_cli.cli.rendering.telling.checked import check
from wan_cli.cli.rendering.telling.ended import Ended, conclude, report_takes, workload
from wan_cli.cli.rendering.telling.later import warn_of_alike, warn_of_later
from wan_cli.cli.rendering.telling.planned import print_schema, show_plan
from wan_cli.cli.rendering.telling.reports import check_reports, pictures_before

__all__ = [
    "Ended", "check", "check_reports", "conclude", "pictures_before", "print_schema", "report_takes", "show_plan",
    "warn_of_alike", "warn_of_later", "workload",
]  # fmt: skip
