"""The business capabilities, one package each; see docs/explanation/architecture.md for how they stack."""
