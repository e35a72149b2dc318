"""Big public sets of motion with texts, from their published folders to plans of data sets."""
