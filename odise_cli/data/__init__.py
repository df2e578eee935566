"""From command-line sources to an ordered, bounded stream of decoded batches.

`sources` finds the files, `records` names and numbers them, `plan` cuts the list into batches,
`loader` decodes them ahead of the consumer with `decode` and `geometry`.
"""
