"""What the gateway promises to instances and to the people and programs that call them."""
