"""Full-catalogue ranking metrics, intervals, paired comparison, baselines and the report."""
