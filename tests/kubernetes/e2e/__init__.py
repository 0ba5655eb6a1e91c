"""The whole product on a real cluster: the command line on a checkout, and what users of the environments see."""
