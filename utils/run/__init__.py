"""What a training or evaluation run needs: training loop, schedules, seeds, devices, logs, provenance."""
