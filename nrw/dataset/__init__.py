"""Stage 6, the training set: `split`, `pack`, `packed`, and the data sets of 2019 (`format2019`)."""
