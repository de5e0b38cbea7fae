"""Reports: one offline HTML file from plain data. Nothing in it is fetched, and nothing in it runs."""
