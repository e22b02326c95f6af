"""Pictures of results, as SVG for the documentation: `make plots`."""
