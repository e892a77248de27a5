"""The web pages: jobs for people, in any browser.

Rule of the package: it is a client of the use cases, as the JSON API is, and holds no
rule of its own. Every page works without JavaScript; forms are plain ones that answer
with a redirect. Where there is JavaScript, htmx fetches the same pages again and
replaces the parts that move.
"""
