"""The nodes that Ray's autoscaler adds in tests: raylets on the machine of its head."""

from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider


class Provider(FakeMultiNodeProvider):  # type: ignore[misc]
    def _create_node_with_resources_and_labels(
        self, node_config: Any, tags: Any, count: int, resources: dict[str, float], labels: Any
    ) -> None:
        # A node finds out its memory by itself, and refuses to be told.
        others = {name: value for name, value in resources.items() if name != "memory"}
        try:
            super()._create_node_with_resources_and_labels(node_config, tags, count, others, labels)
        except BaseException:
            import traceback

            traceback.print_exc()
            raise
