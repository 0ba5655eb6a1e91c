"""The page of the shop.

Never knows a price by itself: all it shows comes from the backend, and it says so when the backend does not answer.
"""
