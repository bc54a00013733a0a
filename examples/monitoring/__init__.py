"""A small application that always has something to do, and what watches it: Prometheus, alerts, Grafana."""
