"""The local stack: the deployed handlers behind one local front door, no AWS account needed."""
