"""Alibaba's Python SDK of the management API, driven by ../management.test.ts: one scenario, told as one line of JSON."""

import json
import os
import sys
import time

from alibabacloud_rocketmq20220801 import models
from alibabacloud_rocketmq20220801.client import Client
from alibabacloud_tea_openapi.models import Config

client = Client(
    Config(
        access_key_id=os.environ["MANAGE_KEY_ID"],
        access_key_secret=os.environ["MANAGE_KEY_SECRET"],
        region_id="cn-hangzhou",
        endpoint=os.environ["MANAGE_ENDPOINT"],
        protocol="http",
        signature_algorithm=sys.argv[1],
    )
)
told = {}


def until_running(ask):
    for _ in range(600):
        if ask().body.data.status == "RUNNING":
            return
        time.sleep(0.05)
    raise TimeoutError("It does not run.")


instance_id = client.create_instance(
    models.CreateInstanceRequest(
        service_code="rmq",
        instance_name="by-python",
        series_code="standard",
        sub_series_code="cluster_ha",
        payment_type="PayAsYouGo",
        product_info=models.CreateInstanceRequestProductInfo(msg_process_spec="rmq.s2.2xlarge"),
        network_info=models.CreateInstanceRequestNetworkInfo(
            vpc_info=models.CreateInstanceRequestNetworkInfoVpcInfo(
                vpc_id="vpc-test",
                v_switches=[models.CreateInstanceRequestNetworkInfoVpcInfoVSwitches(v_switch_id="vsw-test")],
            ),
            internet_info=models.CreateInstanceRequestNetworkInfoInternetInfo(
                internet_spec="disable", flow_out_type="uninvolved"
            ),
        ),
    )
).body.data
until_running(lambda: client.get_instance(instance_id))
client.create_topic(instance_id, "events", models.CreateTopicRequest(message_type="NORMAL", remark="of python"))
client.create_consumer_group(
    instance_id,
    "workers",
    models.CreateConsumerGroupRequest(
        delivery_order_type="Concurrently",
        consume_retry_policy=models.CreateConsumerGroupRequestConsumeRetryPolicy(
            retry_policy="DefaultRetryPolicy", max_retry_times=5
        ),
    ),
)
until_running(lambda: client.get_topic(instance_id, "events"))
until_running(lambda: client.get_consumer_group(instance_id, "workers"))
told["topic"] = client.get_topic(instance_id, "events").body.data.remark
told["retries"] = client.get_consumer_group(instance_id, "workers").body.data.consume_retry_policy.max_retry_times
client.update_instance(instance_id, models.UpdateInstanceRequest(instance_name="renamed"))
client.tag_resources(
    models.TagResourcesRequest(
        region_id="cn-hangzhou",
        resource_type="instance",
        resource_id=json.dumps([instance_id]),
        tag=json.dumps([{"key": "team", "value": "a b&c/ü"}]),
    )
)
listed = client.list_instances(
    models.ListInstancesRequest(page_number=1, page_size=10, filter="renamed")
).body.data.list
told["listed"] = [instance.instance_name for instance in listed]
told["tags"] = [f"{tag.key}={tag.value}" for tag in client.get_instance(instance_id).body.data.tags]
try:
    client.create_topic(instance_id, "events", models.CreateTopicRequest(message_type="NORMAL"))
    told["refusal"] = None
except Exception as error:
    told["refusal"] = error.code
client.delete_instance(instance_id)
# The deletion is accepted at once and carried out a moment later.
told["gone"] = None
for _ in range(600):
    try:
        client.get_instance(instance_id)
        time.sleep(0.05)
    except Exception as error:
        told["gone"] = error.code
        break
print(json.dumps(told))
