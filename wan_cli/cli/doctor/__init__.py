"""``wan doctor``: a finding for each thing that a purchase depends on, with a fix beside what is wrong."""
