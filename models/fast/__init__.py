"""Everything that is there for speed only; each piece gives the results of the plain network it stands in for."""
