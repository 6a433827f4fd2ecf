"""Shared by every stage.

`errors` that users can mend, atomic files (`io`), the one walk of a user's `folder`, the classes of ADE20K (`ade20k`),
`limits`, contact sheets (`pictures`), the `nearest` right name to a wrong one, `pieces` of work and how to resume them,
`progress` of long loops, the `device` of torch, the C library's `heap`.
"""
