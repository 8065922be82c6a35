"""A small Channels 1 application that usher is tested with: HTTP, echo and broadcast."""
