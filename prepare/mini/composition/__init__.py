"""Training motion made from motion there is: two things at once, one after the other, other speeds and amounts."""
