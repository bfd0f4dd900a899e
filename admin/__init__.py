"""`parley`: the operator's program.

target      which deployment a command works on
session     what every command has: its options, its services, its way out
screen      what an operator, or a script, is told
commands    a module for each noun
products    a catalogue as a file
"""
