"""Tests on a real API server with real pods: `make cluster test-kubernetes`. All have the mark `kubernetes`."""
