import com.aliyun.rocketmq20220801.Client;
import com.aliyun.rocketmq20220801.models.CreateConsumerGroupRequest;
import com.aliyun.rocketmq20220801.models.CreateInstanceRequest;
import com.aliyun.rocketmq20220801.models.CreateTopicRequest;
import com.aliyun.rocketmq20220801.models.ListInstancesRequest;
import com.aliyun.rocketmq20220801.models.TagResourcesRequest;
import com.aliyun.rocketmq20220801.models.UpdateInstanceRequest;
import com.aliyun.tea.TeaException;
import com.aliyun.teaopenapi.models.Config;
import com.google.gson.Gson;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;

/** Alibaba's Java SDK of the management API, driven by management.test.ts: one scenario, told as one line of JSON. */
public final class Manage {
    private static final Gson GSON = new Gson();

    public static void main(String[] arguments) throws Exception {
        Client client = new Client(new Config()
            .setAccessKeyId(System.getenv("MANAGE_KEY_ID"))
            .setAccessKeySecret(System.getenv("MANAGE_KEY_SECRET"))
            .setRegionId("cn-hangzhou")
            .setEndpoint(System.getenv("MANAGE_ENDPOINT"))
            .setProtocol("http")
            .setSignatureAlgorithm(arguments[0]));
        Map<String, Object> told = new LinkedHashMap<>();
        String instanceId = client.createInstance(request()).getBody().getData();
        untilRunning(() -> client.getInstance(instanceId).getBody().getData().getStatus());
        client.createTopic(instanceId, "events", new CreateTopicRequest().setMessageType("NORMAL").setRemark("of java"));
        client.createConsumerGroup(instanceId, "workers", new CreateConsumerGroupRequest()
            .setDeliveryOrderType("Concurrently")
            .setConsumeRetryPolicy(new CreateConsumerGroupRequest.CreateConsumerGroupRequestConsumeRetryPolicy()
                .setRetryPolicy("DefaultRetryPolicy")
                .setMaxRetryTimes(5)));
        untilRunning(() -> client.getTopic(instanceId, "events").getBody().getData().getStatus());
        untilRunning(() -> client.getConsumerGroup(instanceId, "workers").getBody().getData().getStatus());
        told.put("topic", client.getTopic(instanceId, "events").getBody().getData().getRemark());
        told.put("retries", client.getConsumerGroup(instanceId, "workers").getBody().getData()
            .getConsumeRetryPolicy().getMaxRetryTimes());
        client.updateInstance(instanceId, new UpdateInstanceRequest().setInstanceName("renamed"));
        client.tagResources(new TagResourcesRequest()
            .setRegionId("cn-hangzhou")
            .setResourceType("instance")
            .setResourceId(GSON.toJson(List.of(instanceId)))
            .setTag(GSON.toJson(List.of(Map.of("key", "team", "value", "a b&c/ü")))));
        told.put("listed", client.listInstances(new ListInstancesRequest().setPageNumber(1).setPageSize(10).setFilter("renamed"))
            .getBody().getData().getList().stream().map(one -> one.getInstanceName()).collect(Collectors.toList()));
        told.put("tags", client.getInstance(instanceId).getBody().getData().getTags().stream()
            .map(tag -> tag.getKey() + "=" + tag.getValue()).collect(Collectors.toList()));
        told.put("refusal", codeOf(() -> client.createTopic(instanceId, "events", new CreateTopicRequest().setMessageType("NORMAL"))));
        client.deleteInstance(instanceId);
        // The deletion is accepted at once and carried out a moment later.
        String gone = null;
        for (int tries = 0; gone == null && tries < 600; tries++) {
            gone = codeOf(() -> client.getInstance(instanceId));
            Thread.sleep(50);
        }
        told.put("gone", gone);
        System.out.println(GSON.toJson(told));
        System.exit(0);
    }

    private static CreateInstanceRequest request() {
        return new CreateInstanceRequest()
            .setServiceCode("rmq")
            .setInstanceName("by-java")
            .setSeriesCode("standard")
            .setSubSeriesCode("cluster_ha")
            .setPaymentType("PayAsYouGo")
            .setProductInfo(new CreateInstanceRequest.CreateInstanceRequestProductInfo().setMsgProcessSpec("rmq.s2.2xlarge"))
            .setNetworkInfo(new CreateInstanceRequest.CreateInstanceRequestNetworkInfo()
                .setVpcInfo(new CreateInstanceRequest.CreateInstanceRequestNetworkInfoVpcInfo()
                    .setVpcId("vpc-test")
                    .setVSwitches(List.of(
                        new CreateInstanceRequest.CreateInstanceRequestNetworkInfoVpcInfoVSwitches().setVSwitchId("vsw-test"))))
                .setInternetInfo(new CreateInstanceRequest.CreateInstanceRequestNetworkInfoInternetInfo()
                    .setInternetSpec("disable")
                    .setFlowOutType("uninvolved")));
    }

    private static void untilRunning(Callable<String> status) throws Exception {
        for (int tries = 0; tries < 600; tries++) {
            if (status.call().equals("RUNNING")) {
                return;
            }
            Thread.sleep(50);
        }
        throw new IllegalStateException("It does not run.");
    }

    private static String codeOf(Callable<?> call) throws Exception {
        try {
            call.call();
            return null;
        } catch (TeaException error) {
            return error.getCode();
        }
    }
}
