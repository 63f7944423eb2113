"""Storage: five verbs over immutable objects, and the user's images. No plain overwrite exists."""
