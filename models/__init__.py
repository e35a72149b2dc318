"""Networks of LaMP: motion tokenizer, language-motion pretraining, generators."""

if __name__ == "models":  # imported by the name of earlier versions
    from lamp.old_names import redirect

    redirect(__name__)
