"""What needs ground truth, data sets or training; the product never imports it."""
