"""Shared by every stage.

`errors` that users can mend, atomic files (`io`), the classes of ADE20K (`ade20k`), `limits`, contact sheets
(`pictures`), `pieces` of work and how to resume them, `progress` of long loops, the `device` of torch.
"""
