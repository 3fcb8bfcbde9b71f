"""Speed and accuracy, each asserted before it is reported."""
