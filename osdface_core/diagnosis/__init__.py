"""What this installation has and lacks, and whether its weights and device do what they should.

Takes: names of weights, a device. Gives: findings with what to do. Not here: the command's arguments.
"""
