"""What connects distq with other libraries. Each module needs an extra of its own, and is imported by name."""
