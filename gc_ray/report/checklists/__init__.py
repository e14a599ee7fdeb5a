"""The items of reporting checklists, in our own words, with the fact that answers each."""
