"""What drivers are proved with: conformance suites, a simulated target, virtual time.

Ships with the product so that drivers from elsewhere can use it. Nothing in the product imports it.
"""
