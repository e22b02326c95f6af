"""What the machine can do: small programs by hand that do a part of the job, and nothing else."""
