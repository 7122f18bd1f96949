"""The planners: what writes a plan, behind one interface (`base`)."""
