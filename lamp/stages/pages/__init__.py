"""What people look at rather than read: animations while a model trains, a page beside each evaluation's log."""
