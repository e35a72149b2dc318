"""Networks of LaMP: motion tokenizer, language-motion pretraining, generators."""
