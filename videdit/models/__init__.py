"""What a bundle's networks do, by role, whatever they are made of."""
