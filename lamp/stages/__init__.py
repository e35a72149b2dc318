"""Parts of training and evaluation where options, data and models meet, for the scripts to put together."""
