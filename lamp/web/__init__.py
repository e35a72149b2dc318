"""The web app: LaMP in a browser, and the same functions as a typed JSON API."""
