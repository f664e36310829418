"""Asks a decoupled model of Triton over gRPC. Runs in `.triton`, whose client needs an older protobuf than ours.

    triton_stream.py ADDRESS MODEL TEXT [--cancel]

Prints the outputs of each response as a line of JSON. With --cancel, it cancels the stream after the first one.
"""

import json
import queue
import sys

import numpy as np
import tritonclient.grpc as triton


def main(address: str, model: str, text: str, *options: str) -> None:
    arrived: queue.Queue = queue.Queue()
    tensor = triton.InferInput("text_input", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([text], dtype=np.object_))
    with triton.InferenceServerClient(address) as client:
        client.start_stream(callback=lambda result, error: arrived.put(error or result))
        parameters = {"max_tokens": 8, "temperature": "0"}
        client.async_stream_infer(model, [tensor], parameters=parameters, enable_empty_final_response=True)
        while not is_final(result := arrived.get()):
            print(json.dumps(outputs(result)), flush=True)
            if "--cancel" in options:
                client.stop_stream(cancel_requests=True)
                return


def is_final(result: object) -> bool:
    if isinstance(result, Exception):
        raise result
    return result.get_response().parameters["triton_final_response"].bool_param


def outputs(result: object) -> dict[str, object]:
    found = {}
    for output in result.get_response().outputs:
        (value,) = result.as_numpy(output.name).tolist()
        found[output.name] = value.decode() if isinstance(value, bytes) else value
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
