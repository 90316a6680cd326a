"""What the tests share: an isolated environment, a real git repository, the real command."""
