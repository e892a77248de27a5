"""The status page: jobs for people, in any browser.

Rule of the package: it is one more client of the use cases, as the JSON API is,
and holds no rule of its own. Every page is whole without JavaScript; forms are
plain ones that answer with a redirect. Where there is JavaScript, htmx fetches
the same pages again and puts their moving parts in place.
"""
