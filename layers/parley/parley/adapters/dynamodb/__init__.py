"""The stores on DynamoDB; docs/table.md lists every access pattern with its key and its cost."""
