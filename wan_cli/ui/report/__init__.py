"""What a render came to, for people who were not there: a contact sheet, a job summary, JUnit."""

from wan_cli.ui.report.rows import Change, Line, Report, Shot, headline

__all__ = ["Change", "Line", "Report", "Shot", "headline"]
