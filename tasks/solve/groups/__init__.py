"""Space groups: which to try, which the phases obey, where their elements lie, their standard setting."""
