"""The report: an outcome drawn as one self-contained HTML page. `page.render` is the entry."""
