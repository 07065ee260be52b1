#!/bin/sh
# One particle a job: sbatch --array=1-12 examples/job_array.sh particles.txt results
# particles.txt has one folder or dataset name a line. A job that is killed and queued again goes on where it stopped.
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=00:30:00
#SBATCH --requeue
particle=$(sed -n "${SLURM_ARRAY_TASK_ID:?}p" "$1")
OMP_NUM_THREADS=1 "${PYTHON:-python}" -m tritomo_helpers process "$particle" --out "$2/$(basename "$particle")"
code=$?
# 3 is "done, with warnings": they stand in the report.
[ "$code" -eq 3 ] || exit "$code"
